"""How hints are drawn: people as coloured sticks, classes as colours, normals, depth."""
