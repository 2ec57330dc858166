"""Paper A (Shan & Atanasov 2017): two-stage training on moving digits, and what lies past the paper."""
