"""One module a finished system, named by its slug, each with its `CARD`; a module placed here is in the catalogue."""
