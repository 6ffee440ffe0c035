"""What the commands print: lines, progress, and the streams that take them."""
