"""What every route shares: errors, paging, uploads, headers, documents."""
