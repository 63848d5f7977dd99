"""What both ends of HTTP share: names on the wire, codecs, problems, versions.

Needs numpy and Pillow alone. Neither end is imported here.
"""
