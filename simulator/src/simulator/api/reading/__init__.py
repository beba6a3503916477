"""Lists, watches, selectors, and the forms that answers come in."""
