"""A ComfyUI without its editor: starting one, queueing graphs in it, following what it does."""
