"""The former name of `external_check`. Recordings cover the text of a module that imports it by this name."""

from service.prompts.external_check import external_check as observes

__all__ = ["observes"]
