"""Files of other projects that the page needs, as they published them; ``VENDOR.md`` names them with their sums."""
