"""Where live avatars are used; each module needs the extra of its name, and nothing needs it."""
