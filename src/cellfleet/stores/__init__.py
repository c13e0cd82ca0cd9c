"""Where bytes come from and go to: local folders, buckets and web servers by URL. Knows no images and no results."""
