"""Whether a value fits: of custom resources by their schema and rules, of built-in kinds by Go's types."""
