"""The service over HTTP. `app.create_app` makes the application. Answers are computed by `service.prompts.run`."""
