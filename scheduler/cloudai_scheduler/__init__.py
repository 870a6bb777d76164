"""The scheduling process: watch -> queue -> filter -> score -> bind."""
