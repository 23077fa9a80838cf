"""Generated head motion, blinks and glances, for every engine."""
