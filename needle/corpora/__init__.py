"""From examples and plain text to what the trainer reads: tokenizer corpora, augmentation."""
