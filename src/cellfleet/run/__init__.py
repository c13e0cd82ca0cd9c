"""A data set through the pipeline: plan, images in flight, resume, records. Knows no option parser and no screen."""
