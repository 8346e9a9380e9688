"""Public archives: discovery in GEO, run resolution in ENA, and a fetch that can be trusted."""
