"""Who answers: every provider behind one method."""
