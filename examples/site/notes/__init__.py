"""The notes board: notes with tags and attachments."""
