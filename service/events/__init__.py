"""What arrives: decoding of the JSON contract and of Jasmin's native format. Pure, no I/O."""
