"""How well raters agree, how far they lag, and the gold standard of their ratings."""
