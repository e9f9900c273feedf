"""The front of the web server: it receives whole requests and sends replies without a request thread.

Gunicorn's `gthread` worker lets a request thread read the request and write the reply, so as many
slow clients as there are threads stop it for everybody. Here the worker's main thread receives the
head and a small body, a second thread receives large bodies into files and sends what a client has
not taken yet, and the threads of the pool meet whole requests only.
"""
