"""Whether the others' books say what ours say: Paystack's payments, the providers' orders and balances."""
