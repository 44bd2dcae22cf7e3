"""The training plugins that come with emomtl. Each file is a plugin and holds one method."""
