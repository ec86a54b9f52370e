"""Is the face alive?"""
