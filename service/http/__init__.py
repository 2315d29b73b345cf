"""The service's face over HTTP. `app.create_app` puts it together; nothing here computes an answer itself."""
