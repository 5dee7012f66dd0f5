"""What README.md, docs/ and the notebooks' index say of results and code: made, never typed."""
