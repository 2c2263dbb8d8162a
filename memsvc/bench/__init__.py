"""`memsvc bench`: measures recall and answers on a file of questions, over a temporary bank."""
