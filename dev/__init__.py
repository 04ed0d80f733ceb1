"""What development and tests need and production never has: embedded servers, `make run`, a browser."""
