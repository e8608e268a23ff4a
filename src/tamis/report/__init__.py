"""Tables and figures made from records, for people to look at."""
