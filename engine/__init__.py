"""What Tandem computes: plain functions on plain data, with I/O at the edges."""
