"""The contract for those who do not share our code: JSON Schemas, an AsyncAPI document, and the gate that keeps them compatible."""
