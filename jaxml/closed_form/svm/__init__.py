"""Support vector machines by hand. Letters as in jaxml.svm."""
