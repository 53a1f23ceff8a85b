"""A desk's day as a page and a picture: pure functions from runs and facts to HTML, SVG and PNG."""
