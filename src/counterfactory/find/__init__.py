"""Find: locate causes inside a trained model."""
