module bound-tokens.invalid/lab/web

go 1.24.0
