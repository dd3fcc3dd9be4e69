"""What each part of AST-Net contributes."""
