"""The live Rerun viewer."""
