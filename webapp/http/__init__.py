"""HTTP of all routes: errors, pages, uploads, headers, documents."""
