"""What compilers for TPUs and GPUs make of the programs: read from their output, without such a device."""
