"""What users send: collected beside the answers, taken into the catalogue, erased on request."""
