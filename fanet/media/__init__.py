"""Images and videos: reading, writing and drawing."""
