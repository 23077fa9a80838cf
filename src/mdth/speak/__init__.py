"""Text -> speech, by Kokoro-82M (Apache-2.0): the extra `speak`."""
