"""One function a verb, glue only: read the options, call the room that does the work, say where the result is."""
