"""Weather stations: a small Litestar application whose answers are cached until a reading changes them."""
