"""How the embedded nano models were made: scenes, captions and one training script per model."""
