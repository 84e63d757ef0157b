"""One file for each subject; `nhan.serving.app` lists them."""
