"""Models as ComfyUI's own MODEL, CLIP and VAE; `unet_layout` and `weights` do without it."""
