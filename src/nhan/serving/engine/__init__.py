"""Where pictures become answers: lanes (worker processes or threads) behind one queue."""
