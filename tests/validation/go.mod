module bound-tokens.invalid/validation

go 1.24.0
