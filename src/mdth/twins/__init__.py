"""A twin: its input found, prepared and filmed, its folders here and in the store."""
