"""Engines: small frozen values that turn a design into draws."""
