"""Moving meshes for other programs: npz, glTF, USD and ARKit blendshapes."""
